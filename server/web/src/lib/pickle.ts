// Reads the opcodes of a Python pickle into plain values. It runs nothing: a call becomes a record of its name and
// its arguments. An opcode that it does not know ends the reading.
import { UnreadableFile } from "./tensors";

export interface PickledGlobal {
  kind: "global";
  name: string;
}
/** An object that Python would make by a call. */
export interface PickledObject {
  kind: "object";
  /** What would be called, such as `collections.OrderedDict`. */
  type: string;
  args: Pickled[];
  state: Pickled;
  items: Pickled[];
  entries: [Pickled, Pickled][];
}
export interface PickledList {
  kind: "list" | "tuple" | "set";
  items: Pickled[];
}
export interface PickledDict {
  kind: "dict";
  entries: [Pickled, Pickled][];
}
/** A reference to something outside the pickle, such as the storage of a tensor. */
export interface PickledReference {
  kind: "reference";
  id: Pickled;
}
export interface PickledBytes {
  kind: "bytes";
  length: number;
}
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickledBytes
  | PickledGlobal
  | PickledObject
  | PickledList
  | PickledDict
  | PickledReference;

const cannot = (reason: string) => new UnreadableFile(`The file cannot be read without running it: ${reason}.`);

/** The bytes end before the pickle does. */
export class TruncatedPickle extends UnreadableFile {}

export const typeNameOf = (value: Pickled): string =>
  value !== null && typeof value === "object" && value.kind === "global" ? value.name : "unknown";

function integerOf(text: string): number | bigint {
  if (!/^-?\d{1,1024}$/.test(text)) throw cannot("a number is not valid");
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

class Reader {
  private readonly view: DataView;
  private readonly utf8 = new TextDecoder();
  private stack: Pickled[] = [];
  private readonly below: Pickled[][] = [];
  private readonly memo = new Map<number, Pickled>();

  constructor(
    private readonly bytes: Uint8Array,
    public at: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private skip(count: number): number {
    const from = this.at;
    if (count > this.bytes.length - from) throw new TruncatedPickle("The pickle in the file is cut off.");
    this.at += count;
    return from;
  }
  private readonly u1 = () => this.view.getUint8(this.skip(1));
  private readonly u2 = () => this.view.getUint16(this.skip(2), true);
  private readonly u4 = () => this.view.getUint32(this.skip(4), true);
  private readonly u8 = () => Number(this.view.getBigUint64(this.skip(8), true));

  private text(length: number): string {
    const from = this.skip(length);
    return this.utf8.decode(this.bytes.subarray(from, from + length));
  }
  private raw(length: number): PickledBytes {
    this.skip(length);
    return { kind: "bytes", length };
  }
  private line(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end === -1) throw new TruncatedPickle("The pickle in the file is cut off.");
    const text = this.text(end - this.at);
    this.at += 1;
    return text;
  }
  private long(length: number): number | bigint {
    const from = this.skip(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i -= 1) value = (value << 8n) | BigInt(this.bytes[from + i] as number);
    if (length > 0) value = BigInt.asIntN(length * 8, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private push(value: Pickled): void {
    this.stack.push(value);
  }
  private pop(): Pickled {
    const value = this.stack.pop();
    if (value === undefined) throw cannot("its stack is empty");
    return value;
  }
  private toMark(): Pickled[] {
    const items = this.stack;
    const before = this.below.pop();
    if (before === undefined) throw cannot("a mark is missing");
    this.stack = before;
    return items;
  }
  private top(): Pickled {
    const value = this.stack.at(-1);
    if (value === undefined) throw cannot("its stack is empty");
    return value;
  }
  private tuple(count: number): void {
    const items = Array.from({ length: count }, () => this.pop()).reverse();
    this.push({ kind: "tuple", items });
  }
  private append(items: Pickled[]): void {
    const target = this.top();
    if (target === null || typeof target !== "object" || !("items" in target)) throw cannot("it appends to no list");
    for (const item of items) target.items.push(item);
  }
  private setItems(flat: Pickled[]): void {
    const target = this.top();
    if (target === null || typeof target !== "object" || !("entries" in target)) throw cannot("it sets items of no dict");
    for (let i = 0; i + 1 < flat.length; i += 2) target.entries.push([flat[i] as Pickled, flat[i + 1] as Pickled]);
  }
  private call(callee: Pickled, args: Pickled): void {
    const given = args !== null && typeof args === "object" && args.kind === "tuple" ? args.items : [args];
    this.push({ kind: "object", type: typeNameOf(callee), args: given, state: null, items: [], entries: [] });
  }
  private recall(key: number): void {
    const value = this.memo.get(key);
    if (value === undefined) throw cannot("it recalls a value that it did not store");
    this.push(value);
  }

  /** Reads one pickle, up to its end. */
  read(): Pickled {
    for (;;) {
      const code = this.u1();
      if (code === 0x2e) return this.pop(); // STOP
      this.step(code);
    }
  }

  private step(code: number): void {
    switch (code) {
      case 0x80: return void this.u1(); // PROTO
      case 0x95: return void this.u8(); // FRAME
      case 0x28: this.below.push(this.stack); this.stack = []; return; // MARK
      case 0x30: return void (this.stack.length === 0 ? this.toMark() : this.pop()); // POP
      case 0x31: return void this.toMark(); // POP_MARK
      case 0x32: return this.push(this.top()); // DUP
      case 0x4e: return this.push(null); // NONE
      case 0x88: return this.push(true); // NEWTRUE
      case 0x89: return this.push(false); // NEWFALSE
      case 0x49: { const text = this.line(); return this.push(text === "01" ? true : text === "00" ? false : Number(text)); } // INT
      case 0x4a: return this.push(this.view.getInt32(this.skip(4), true)); // BININT
      case 0x4b: return this.push(this.u1()); // BININT1
      case 0x4d: return this.push(this.u2()); // BININT2
      case 0x4c: return this.push(integerOf(this.line().replace(/L$/, ""))); // LONG
      case 0x8a: return this.push(this.long(this.u1())); // LONG1
      case 0x8b: { const size = this.u4(); if (size > 1024) throw cannot("a number is too long"); return this.push(this.long(size)); } // LONG4
      case 0x46: return this.push(Number(this.line())); // FLOAT
      case 0x47: return this.push(this.view.getFloat64(this.skip(8))); // BINFLOAT
      case 0x53: return this.push(this.line().replace(/^(['"])(.*)\1$/, "$2")); // STRING
      case 0x56: return this.push(this.line()); // UNICODE
      case 0x54: return this.push(this.text(this.u4())); // BINSTRING
      case 0x55: case 0x8c: return this.push(this.text(this.u1())); // SHORT_BINSTRING, SHORT_BINUNICODE
      case 0x58: return this.push(this.text(this.u4())); // BINUNICODE
      case 0x8d: return this.push(this.text(this.u8())); // BINUNICODE8
      case 0x42: return this.push(this.raw(this.u4())); // BINBYTES
      case 0x43: return this.push(this.raw(this.u1())); // SHORT_BINBYTES
      case 0x8e: case 0x96: return this.push(this.raw(this.u8())); // BINBYTES8, BYTEARRAY8
      case 0x5d: return this.push({ kind: "list", items: [] }); // EMPTY_LIST
      case 0x6c: return this.push({ kind: "list", items: this.toMark() }); // LIST
      case 0x61: return this.append([this.pop()]); // APPEND
      case 0x65: case 0x90: return this.append(this.toMark()); // APPENDS, ADDITEMS
      case 0x29: return this.tuple(0); // EMPTY_TUPLE
      case 0x74: return this.push({ kind: "tuple", items: this.toMark() }); // TUPLE
      case 0x85: case 0x86: case 0x87: return this.tuple(code - 0x84); // TUPLE1, TUPLE2, TUPLE3
      case 0x8f: return this.push({ kind: "set", items: [] }); // EMPTY_SET
      case 0x91: return this.push({ kind: "set", items: this.toMark() }); // FROZENSET
      case 0x7d: return this.push({ kind: "dict", entries: [] }); // EMPTY_DICT
      case 0x64: { const flat = this.toMark(); this.push({ kind: "dict", entries: [] }); return this.setItems(flat); } // DICT
      case 0x73: { const value = this.pop(); const key = this.pop(); return this.setItems([key, value]); } // SETITEM
      case 0x75: return this.setItems(this.toMark()); // SETITEMS
      case 0x63: return this.push({ kind: "global", name: `${this.line()}.${this.line()}` }); // GLOBAL
      case 0x93: { const name = this.pop(); const module = this.pop(); return this.push({ kind: "global", name: `${String(module)}.${String(name)}` }); } // STACK_GLOBAL
      case 0x52: case 0x81: { const args = this.pop(); return this.call(this.pop(), args); } // REDUCE, NEWOBJ
      case 0x92: { this.pop(); const args = this.pop(); return this.call(this.pop(), args); } // NEWOBJ_EX
      case 0x6f: { const [callee = null, ...items] = this.toMark(); return this.call(callee, { kind: "tuple", items }); } // OBJ
      case 0x69: { const name = `${this.line()}.${this.line()}`; return this.call({ kind: "global", name }, { kind: "tuple", items: this.toMark() }); } // INST
      case 0x62: { // BUILD
        const state = this.pop();
        const target = this.top();
        if (target !== null && typeof target === "object" && target.kind === "object") target.state = state;
        return;
      }
      case 0x70: return void this.memo.set(Number(this.line()), this.top()); // PUT
      case 0x71: return void this.memo.set(this.u1(), this.top()); // BINPUT
      case 0x72: return void this.memo.set(this.u4(), this.top()); // LONG_BINPUT
      case 0x94: return void this.memo.set(this.memo.size, this.top()); // MEMOIZE
      case 0x67: return this.recall(Number(this.line())); // GET
      case 0x68: return this.recall(this.u1()); // BINGET
      case 0x6a: return this.recall(this.u4()); // LONG_BINGET
      case 0x50: return this.push({ kind: "reference", id: this.line() }); // PERSID
      case 0x51: return this.push({ kind: "reference", id: this.pop() }); // BINPERSID
      default: throw cannot(`opcode 0x${code.toString(16)} at byte ${this.at - 1} is not known`);
    }
  }
}

/** Reads the pickle that begins at `start`. Returns its value and the position behind it. */
export function readPickle(bytes: Uint8Array, start = 0): { value: Pickled; end: number } {
  const reader = new Reader(bytes, start);
  const value = reader.read();
  return { value, end: reader.at };
}
