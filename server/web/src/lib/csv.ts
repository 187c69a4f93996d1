// Text of CSV files (RFC 4180).

/** The first character of what a spreadsheet takes for a formula; some also take the wide forms. */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** Returns one field. A text that is a formula but no number begins with an apostrophe. */
function field(value: string | number | bigint | boolean | null | undefined): string {
  if (value === null || value === undefined) return "";
  const isFormula = typeof value === "string" && FORMULA.test(value) && Number.isNaN(Number(value));
  const text = isFormula ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export function csvLine(values: Parameters<typeof field>[0][]): string {
  return `${values.map(field).join(",")}\r\n`;
}
