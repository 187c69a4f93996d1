// Lists the tensors of a file of `torch.save` without running it: of a state dict, of a checkpoint of Lightning, or of
// any object that contains tensors. Both formats are read: zip files, and the older sequence of pickles.
import type { Json } from "./json";
import { readPickle, typeNameOf, TruncatedPickle, type Pickled, type PickledObject } from "./pickle";
import { elementsOf, UnreadableFile, type ReadBytes, type Tensor, type TensorFile } from "./tensors";
import { readZipEntries, readZipEntry } from "./zip";

/** Limits for files made to be slow: tensors that are listed, values that are looked at, levels. */
const MOST_TENSORS = 100_000;
const MOST_VALUES = 500_000;
const DEEPEST = 60;
const MOST_FACTS = 200;
const LEGACY = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const LEGACY_SIZES = [1_000_000, 32_000_000];

const STORAGES: Record<string, string> = {
  Double: "float64", Float: "float32", Half: "float16", BFloat16: "bfloat16", Long: "int64", Int: "int32",
  Short: "int16", Char: "int8", Byte: "uint8", Bool: "bool", ComplexDouble: "complex128", ComplexFloat: "complex64",
  QInt8: "qint8", QUInt8: "quint8", QInt32: "qint32",
}; // prettier-ignore

/** Returns the bytes of an element by the name of its type; null for an unknown type. */
function elementBytes(dtype: string): number | null {
  if (dtype === "bool") return 1;
  const bits = /^(?:bfloat|float|complex|q?u?int)(\d+)/.exec(dtype)?.[1];
  return bits === undefined ? null : Number(bits) / 8;
}

const isObject = (value: Pickled | undefined): value is PickledObject =>
  value !== null && typeof value === "object" && value.kind === "object";
const itemsOf = (value: Pickled | undefined): Pickled[] =>
  value !== null && typeof value === "object" && "items" in value ? value.items : [];
const sizesOf = (value: Pickled | undefined): number[] =>
  (isObject(value) ? itemsOf(value.args[0]) : itemsOf(value)).map(Number);

/** Returns the tensor that a call of torch would make; null for any other call. */
function tensorOf(name: string, call: PickledObject): Tensor | null {
  if (!/^torch\._utils\._rebuild_(tensor_v2|tensor_v3|tensor|qtensor)$/.test(call.type)) return null;
  const [storage, , shape] = call.args;
  if (storage === null || typeof storage !== "object" || storage.kind !== "reference") return null;
  const [, kind, key] = itemsOf(storage.id);
  const given = call.type.endsWith("_v3") ? typeNameOf(call.args[6] ?? null).replace(/^torch\./, "") : null;
  const named = typeNameOf(kind ?? null).replace(/^torch(\.storage|\.cuda)?\./, "").replace(/Storage$/, "");
  const dtype = given ?? STORAGES[named] ?? named;
  const sizes = sizesOf(shape);
  const bytes = elementBytes(dtype);
  return { name, dtype, shape: sizes, bytes: bytes === null ? null : bytes * elementsOf(sizes), storage: String(key) };
}

function plain(value: Pickled): Json | undefined {
  if (value === null || typeof value !== "object") return value;
  return value.kind === "bytes" ? `${value.length} bytes` : undefined;
}

/** Collects the tensors inside a value, with the path to each, and the other values. */
class Collector {
  readonly tensors: Tensor[] = [];
  readonly facts: [string, Json][] = [];
  isCut = false;
  private seen = 0;
  private readonly open = new Set<Pickled>();

  walk(value: Pickled, path: string): void {
    this.seen += 1;
    const tooMuch = this.seen > MOST_VALUES || this.tensors.length >= MOST_TENSORS || this.open.size > DEEPEST;
    if (tooMuch) this.isCut = true;
    if (tooMuch || this.open.has(value)) return;
    const fact = plain(value);
    if (fact !== undefined) {
      if (path !== "" && this.facts.length < MOST_FACTS) this.facts.push([path, fact]);
      return;
    }
    this.open.add(value);
    this.enter(value, path);
    this.open.delete(value);
  }

  private enter(value: Pickled, path: string): void {
    if (value === null || typeof value !== "object") return;
    const below = (key: Pickled | number) => {
      const name = typeof key === "object" ? "?" : String(key);
      return path === "" ? name : `${path}.${name}`;
    };
    if (value.kind === "object") {
      const tensor = tensorOf(path, value);
      if (tensor !== null) return void this.tensors.push(tensor);
      if (/^torch\._utils\._rebuild_parameter/.test(value.type)) return this.walk(value.args[0] ?? null, path);
      if (value.args.length > 0 && value.entries.length === 0 && this.walkArguments(value, path)) return;
      // The state of an ordered dict only names the versions of modules.
      if (value.state !== null && value.type !== "collections.OrderedDict") this.walk(value.state, path);
    }
    if ("items" in value) value.items.forEach((item, at) => this.walk(item, below(at)));
    if ("entries" in value) for (const [key, item] of value.entries) this.walk(item, below(key));
  }

  /** Looks for tensors in the arguments of a call. A call without tensors is a fact: its name. */
  private walkArguments(call: PickledObject, path: string): boolean {
    const [tensors, facts] = [this.tensors.length, this.facts.length];
    call.args.forEach((argument, at) => this.walk(argument, path === "" ? String(at) : `${path}.${at}`));
    if (this.tensors.length > tensors) return false;
    this.facts.length = facts;
    if (call.state !== null) return false;
    const only = call.args.length === 1 ? plain(call.args[0] as Pickled) : undefined;
    if (path !== "" && facts < MOST_FACTS) this.facts.push([path, only ?? `${call.type}(…)`]);
    return true;
  }
}

function collect(value: Pickled, format: string): TensorFile {
  const collector = new Collector();
  collector.walk(value, "");
  return { format, tensors: collector.tensors, facts: collector.facts, isCut: collector.isCut };
}

/** Reads names, types and shapes. Raises UnreadableFile for a file that only Python can read. */
export async function readTorchFile(read: ReadBytes, size: number): Promise<TensorFile> {
  const first = await read(0, Math.min(size, LEGACY.length));
  if (LEGACY.every((byte, at) => first[at] === byte)) return readLegacy(read, size);
  if (first[0] !== 0x50 || first[1] !== 0x4b) throw new UnreadableFile("The file is not a file of torch.save.");
  const entries = await readZipEntries(read, size);
  const entry = entries.find(({ name }) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (entry === undefined) throw new UnreadableFile("The zip file contains no data.pkl, so torch.save did not write it.");
  if (entries.some(({ name }) => /^([^/]+\/)?constants\.pkl$/.test(name))) {
    throw new UnreadableFile("The file is a TorchScript program. It cannot be read without running it.");
  }
  return collect(readPickle(await readZipEntry(read, entry, size)).value, "torch.save");
}

/** The older format: pickles of a magic number, a protocol and facts of the machine, then the object. */
async function readLegacy(read: ReadBytes, size: number): Promise<TensorFile> {
  for (const limit of LEGACY_SIZES) {
    const bytes = await read(0, Math.min(size, limit));
    try {
      let at = 0;
      for (let skipped = 0; skipped < 3; skipped += 1) at = readPickle(bytes, at).end;
      return collect(readPickle(bytes, at).value, "torch.save, older format");
    } catch (error) {
      if (!(error instanceof TruncatedPickle) || limit >= size) throw error;
    }
  }
  throw new UnreadableFile("The list of tensors in the file is too long to read here.");
}
