// The path of the server in the address: empty, or for example "/tracker" behind a proxy. The server writes it
// into the page, instead of the dot in "./".
export const meta = document.querySelector<HTMLMetaElement>('meta[name="root"]');

export const root = (meta?.content ?? "").replace(/^\./, "").replace(/\/$/, "");
