// The rows of the table as a CSV file.
import { csvLine } from "../../lib/csv";
import { stringify } from "../../lib/format";
import { asNumber, type Json } from "../../lib/json";
import { valueOf, type RunRow } from "../../lib/table";

function plain(value: Json | undefined): string | number | bigint | boolean | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "object") return value;
  return asNumber(value) ?? (Array.isArray(value) && value.every((item) => typeof item === "string") ? value.join(",") : stringify(value));
}

/** Returns the CSV text of runs: id and name, then the shown columns. */
export function csvOf(rows: RunRow[], columns: string[], sweeps: ReadonlyMap<string, string>): string {
  const ids = ["id", "name", ...columns.filter((id) => id !== "id")];
  const lines = rows.map((row) => csvLine(ids.map((id) => (id === "sweep" ? sweeps.get(row.id) : plain(valueOf(row, id))))));
  return [csvLine(ids), ...lines].join("");
}

/** Makes the browser save a text. */
export function saveText(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url));
}
