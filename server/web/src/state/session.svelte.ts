// Whether the server requires a sign-in, and who is signed in.
import type { Answer, Schema } from "../lib/api";
import { api, messageOf, onSignedOut, settings } from "./services";

type Status = "unknown" | "open" | "signed-in" | "signed-out" | "unreachable";

const isInside = (value: unknown): value is Status => value === "open" || value === "signed-in";
/** The last answer counts until the new one is there, so that a page need not wait for it. */
let status = $state<Status>(settings.read("session", "unknown", isInside));
let found = $state.raw<Answer<"get_session"> | null>(null);
let error = $state<string | null>(null);

export const session = {
  get status(): Status {
    return status;
  },
  get error(): string | null {
    return error;
  },
  /** Name of the user; null for the owner of the store, and for a key without a user. */
  get user(): string | null {
    return found?.user ?? null;
  },
  /** Whether the server has users, who sign in with a name and a password. */
  get hasUsers(): boolean {
    return found?.has_users ?? false;
  },
  /** Other systems at which people can sign in. */
  get places(): Answer<"get_session">["sign_in"] {
    return found?.sign_in ?? [];
  },
  /** Whether the caller may administrate the server. */
  get isAdmin(): boolean {
    return found?.is_admin ?? false;
  },
  /** Whether the server shows folders of other programs in place (`tracker open`). */
  get inPlace(): boolean {
    return found?.in_place ?? false;
  },
};

export async function loadSession(): Promise<void> {
  try {
    found = await api.session();
    if (found.key_required) status = found.signed_in ? "signed-in" : "signed-out";
    else status = "open";
    error = null;
    settings.write("session", status);
  } catch (problem) {
    status = "unreachable";
    error = messageOf(problem);
  }
}

/** Throws if the server refuses the key or the password. */
export async function signIn(body: Schema<"SignIn">): Promise<void> {
  await api.signIn(body);
  await loadSession();
}

export async function signOut(): Promise<void> {
  await api.signOut();
  status = "signed-out";
  settings.write("session", status);
}

onSignedOut(() => {
  status = "signed-out";
  settings.write("session", status);
});
