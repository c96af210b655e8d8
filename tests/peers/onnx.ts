/**
 * Writes ONNX files: as much of the protobuf encoding (https://protobuf.dev/programming-guides/encoding) and of onnx.proto3 as
 * an inference graph of float tensors needs.
 */
type Attribute = number | string | readonly number[] | { float: number };

enum Wire {
  varint = 0,
  bytes = 2,
  fixed32 = 5,
}

const text = new TextEncoder();

/** A protobuf message under construction: fields in the order of the calls. */
class Message {
  readonly #chunks: Uint8Array[] = [];
  length = 0;

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  #varint(value: number | bigint): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes: number[] = [];
    do {
      const more = rest > 127n;
      bytes.push(Number(rest & 127n) | (more ? 128 : 0));
      rest >>= 7n;
    } while (rest > 0n);
    this.#push(Uint8Array.from(bytes));
  }

  integer(field: number, value: number): this {
    this.#varint((field << 3) | Wire.varint);
    this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint((field << 3) | Wire.fixed32);
    this.#push(new Uint8Array(new Float32Array([value]).buffer));
    return this;
  }

  bytes(field: number, value: Uint8Array | string | Message): this {
    const chunks = value instanceof Message ? value.#chunks : [typeof value === 'string' ? text.encode(value) : value];
    this.#varint((field << 3) | Wire.bytes);
    this.#varint(chunks.reduce((sum, { length }) => sum + length, 0));
    for (const chunk of chunks) this.#push(chunk);
    return this;
  }

  finish(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

const FLOAT = 1;
const INT64 = 7;

/** A graph; values are known by their names. */
export class OnnxGraph {
  readonly #nodes: Message[] = [];
  readonly #initializers: Message[] = [];
  readonly #inputs: Message[] = [];
  readonly #outputs: Message[] = [];
  readonly #constants = new Map<string, string>();
  #names = 0;

  input(name: string, shape: readonly number[]): string {
    this.#inputs.push(valueInfo(name, shape));
    return name;
  }

  output(name: string, value: string, shape: readonly number[]): void {
    this.#nodes.push(node('Identity', [value], [name], {}, '', name));
    this.#outputs.push(valueInfo(name, shape));
  }

  /** A weight. */
  floats(data: Float32Array, shape: readonly number[]): string {
    return this.#tensor(FLOAT, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), shape);
  }

  scalar(value: number): string {
    return this.#known(`f ${value}`, () => this.floats(new Float32Array([value]), []));
  }

  /** Shapes, axes, indices. */
  integers(values: readonly number[]): string {
    return this.#known(`i ${values}`, () =>
      this.#tensor(INT64, new Uint8Array(BigInt64Array.from(values, BigInt).buffer), [values.length]),
    );
  }

  #known(key: string, make: () => string): string {
    const name = this.#constants.get(key) ?? make();
    this.#constants.set(key, name);
    return name;
  }

  #tensor(type: number, raw: Uint8Array, shape: readonly number[]): string {
    const name = `c${this.#names++}`;
    const tensor = new Message();
    for (const n of shape) tensor.integer(1, n);
    this.#initializers.push(tensor.integer(2, type).bytes(8, name).bytes(9, raw));
    return name;
  }

  /** Adds a node with one output, and names it. */
  add(operation: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}, domain = ''): string {
    return this.addMany(operation, inputs, 1, attributes, domain)[0];
  }

  addMany(operation: string, inputs: readonly string[], count: number, attributes: Record<string, Attribute> = {}, domain = ''): string[] {
    const id = this.#names++;
    const outputs = Array.from({ length: count }, (_, i) => `v${id}_${i}`);
    this.#nodes.push(node(operation, inputs, outputs, attributes, domain, `${operation}_${id}`));
    return outputs;
  }

  /** The file's bytes, opset 17. */
  finish(): Uint8Array<ArrayBuffer> {
    const graph = new Message();
    for (const part of this.#nodes) graph.bytes(1, part);
    graph.bytes(2, 'graph');
    for (const part of this.#initializers) graph.bytes(5, part);
    for (const part of this.#inputs) graph.bytes(11, part);
    for (const part of this.#outputs) graph.bytes(12, part);
    const opset = new Message().bytes(1, '').integer(2, 17);
    const microsoft = new Message().bytes(1, 'com.microsoft').integer(2, 1);
    return new Message().integer(1, 8).bytes(2, 'backdrop').bytes(7, graph).bytes(8, opset).bytes(8, microsoft).finish();
  }
}

function valueInfo(name: string, shape: readonly number[]): Message {
  const dimensions = new Message();
  for (const n of shape) dimensions.bytes(1, new Message().integer(1, n));
  const tensor = new Message().integer(1, FLOAT).bytes(2, dimensions);
  return new Message().bytes(1, name).bytes(2, new Message().bytes(1, tensor));
}

function node(
  operation: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Record<string, Attribute>,
  domain: string,
  name: string,
): Message {
  const message = new Message();
  for (const input of inputs) message.bytes(1, input);
  for (const output of outputs) message.bytes(2, output);
  message.bytes(3, name).bytes(4, operation);
  for (const [key, value] of Object.entries(attributes)) message.bytes(5, attribute(key, value));
  return message.bytes(7, domain);
}

function attribute(name: string, value: Attribute): Message {
  const message = new Message().bytes(1, name);
  if (typeof value === 'number') return message.integer(3, value).integer(20, 2);
  if (typeof value === 'string') return message.bytes(4, value).integer(20, 3);
  if ('float' in value) return message.float(2, value.float).integer(20, 1);
  for (const n of value) message.integer(8, n);
  return message.integer(20, 7);
}
