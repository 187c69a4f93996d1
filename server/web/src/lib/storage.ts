// Small settings. A browser can refuse storage: then settings only last until the page is reloaded.

export interface KeyValue {
  getItem: (key: string) => string | null;
  setItem: (key: string, value: string) => void;
}

export interface Settings {
  read: <T>(key: string, fallback: T, valid: (value: unknown) => value is T) => T;
  write: (key: string, value: unknown) => void;
}

const PREFIX = "tracker:";

/** `open` may throw or return null, as localStorage does when the browser blocks it. */
export function createSettings(open: () => KeyValue | null | undefined): Settings {
  const memory = new Map<string, string>();
  const attempt = <T>(work: (storage: KeyValue) => T): T | null => {
    try {
      const storage = open();
      return storage == null ? null : work(storage);
    } catch {
      return null;
    }
  };
  return {
    read(key, fallback, valid) {
      const name = PREFIX + key;
      const text = memory.get(name) ?? attempt((storage) => storage.getItem(name));
      if (text == null) return fallback;
      try {
        const value: unknown = JSON.parse(text);
        return valid(value) ? value : fallback;
      } catch {
        return fallback;
      }
    },
    write(key, value) {
      const name = PREFIX + key;
      const text = JSON.stringify(value);
      memory.set(name, text);
      attempt((storage) => storage.setItem(name, text));
    },
  };
}

export const isStringList = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

export const isFiniteNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
