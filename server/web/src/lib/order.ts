// Orders of the runs table: keys with commas between them; a leading `-` reverses the order of a key.

export interface Order {
  column: string;
  descending: boolean;
}

/** Keys of an order that are not keys of config or summary. */
export const ORDERED_COLUMNS = [
  ...["created_at", "updated_at", "name", "state", "last_step", "duration", "id", "group", "job_type", "host"],
];
const TEXTS = ["name", "state", "id", "group", "job_type", "host"];
const MOST = 10;

/** Splits an order at its commas. A comma within a key of config or summary does not split. */
export function parseOrders(text: string): Order[] {
  const parts: string[] = [];
  for (const part of text.split(",")) {
    const name = part.replace(/^[-+ ]+/, "");
    const begins = ORDERED_COLUMNS.includes(name) || /^(config|summary)\./.test(name);
    if (parts.length === 0 || begins) parts.push(part);
    else parts[parts.length - 1] += `,${part}`;
  }
  return parts
    .filter((part) => part !== "")
    .map((part) => (part.startsWith("-") ? { column: part.slice(1), descending: true } : { column: part, descending: false }));
}

export function formatOrders(orders: Order[]): string {
  return orders.map(({ column, descending }) => `${descending ? "-" : ""}${column}`).join(",");
}

/**
 * Returns the order after a click on a column header: text starts ascending, numbers and times descending. With
 * `add`, the column becomes the last key of the order, is reversed, and then leaves the order.
 */
export function nextOrder(text: string, column: string, add = false): string {
  const orders = parseOrders(text);
  const now = orders.find((order) => order.column === column);
  const first = { column, descending: !TEXTS.includes(column) };
  if (!add) return formatOrders([now === undefined ? first : { column, descending: !now.descending }]);
  if (now === undefined) return formatOrders([...orders, first].slice(0, MOST));
  const reversed = now.descending !== first.descending;
  const rest = orders.filter((order) => order !== now);
  if (reversed && rest.length > 0) return formatOrders(rest);
  return formatOrders(orders.map((order) => (order === now ? { column, descending: !now.descending } : order)));
}
