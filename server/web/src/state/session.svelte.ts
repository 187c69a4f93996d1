// Whether the server requires a key, and whether this browser has sent one.
import { api, messageOf, onSignedOut } from "./services";

type Status = "unknown" | "open" | "signed-in" | "signed-out" | "unreachable";

let status = $state<Status>("unknown");
let error = $state<string | null>(null);

export const session = {
  get status(): Status {
    return status;
  },
  get error(): string | null {
    return error;
  },
};

export async function loadSession(): Promise<void> {
  try {
    const found = await api.session();
    if (found.key_required) status = found.signed_in ? "signed-in" : "signed-out";
    else status = "open";
    error = null;
  } catch (problem) {
    status = "unreachable";
    error = messageOf(problem);
  }
}

/** Throws if the server refuses the key. */
export async function signIn(key: string): Promise<void> {
  await api.signIn(key);
  status = "signed-in";
}

export async function signOut(): Promise<void> {
  await api.signOut();
  status = "signed-out";
}

onSignedOut(() => {
  status = "signed-out";
});
