// Copies text to the clipboard.

/** Copies a text. Returns whether it worked. */
export async function copyText(text: string): Promise<boolean> {
  return (await viaClipboard(text)) || viaSelection(text);
}

async function viaClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Pages over plain http have no clipboard object, and many air-gapped servers use plain http. */
function viaSelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.style.position = "fixed";
  area.style.opacity = "0";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
