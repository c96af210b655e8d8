/**
 * TensorBoard's event files: TFRecord frames around protobuf Events with scalars.
 *
 * A frame is the length (8 bytes, little endian), its masked CRC-32C, the data, and the data's masked CRC-32C. An Event has
 * wall_time (field 1, double), step (2, int64) and either file_version (3, in the first frame) or a summary (5) of values with a tag (1)
 * and a simple_value (2, float). Sources: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, framework/summary.proto.
 */
import { BackdropError } from '../errors.ts';

/** The name TensorBoard looks for, `events.out.tfevents.SECONDS.HOST`; the host only tells files apart. */
export function eventFileName(seconds: number, host: string): string {
  return `events.out.tfevents.${String(Math.floor(seconds)).padStart(10, '0')}.${host}`;
}

/** What a file begins with. @param seconds since 1970 */
export function eventFileStart(seconds: number): Uint8Array<ArrayBuffer> {
  return frame([...double(1, seconds), ...bytes(3, utf8('brain.Event:2'))]);
}

/**
 * One step's scalars, to be appended to the file.
 * @param seconds since 1970
 * @param step a whole number from 0
 * @param scalars by tag, such as 'train/loss'; kept as float32
 * @throws BackdropError E_INPUT for a step that is none
 */
export function scalarEvent(seconds: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array<ArrayBuffer> {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new BackdropError('E_INPUT', `TensorBoard: step is ${step}, expected a whole number from 0`);
  const summary = Object.entries(scalars).flatMap(([tag, value]) => bytes(1, [...bytes(1, utf8(tag)), ...float(2, value)]));
  return frame([...double(1, seconds), ...varint(2 << 3), ...varint(step), ...bytes(5, summary)]);
}

function frame(data: readonly number[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(12 + data.length + 4);
  const view = new DataView(result.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(result.subarray(0, 8)), true);
  result.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(result.subarray(12, 12 + data.length)), true);
  return result;
}

const utf8 = (text: string) => [...new TextEncoder().encode(text)];

/** Seven bits a byte, lowest first. By division, since steps may exceed 32 bits. */
function varint(value: number): number[] {
  const result: number[] = [];
  let rest = value;
  while (rest >= 128) {
    result.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...result, rest];
}

const bytes = (field: number, data: readonly number[]) => [...varint((field << 3) | 2), ...varint(data.length), ...data];

function double(field: number, value: number): number[] {
  const data = new DataView(new ArrayBuffer(8));
  data.setFloat64(0, value, true);
  return [...varint((field << 3) | 1), ...new Uint8Array(data.buffer)];
}

function float(field: number, value: number): number[] {
  const data = new DataView(new ArrayBuffer(4));
  data.setFloat32(0, value, true);
  return [...varint((field << 3) | 5), ...new Uint8Array(data.buffer)];
}

/** CRC-32C (Castagnoli, reflected 0x82f63b78), rotated and offset as TFRecord wants. */
function maskedCrc(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff];
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
