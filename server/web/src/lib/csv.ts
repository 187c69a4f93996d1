// Text of CSV files (RFC 4180).

/** Returns one field. A text that a spreadsheet would take for a formula begins with an apostrophe. */
function field(value: string | number | bigint | boolean | null | undefined): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export function csvLine(values: Parameters<typeof field>[0][]): string {
  return `${values.map(field).join(",")}\r\n`;
}
