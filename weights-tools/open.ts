/** One door for every checkpoint file: looks at the first bytes and hands over to the right reader, or says what the file is instead. */
import { type FileLike, openFile, raiser } from '../src/checkpoints/bytes.ts';
import { openSafetensors } from '../src/checkpoints/safetensors.ts';
import type { OpenOptions, TensorSource } from '../src/checkpoints/tensors.ts';
import { LEGACY_MAGIC } from './torch-source.ts';

/** The unpickler is as large as the rest of the readers: a page that opens safetensors does without. */
const torchFiles = () => import('./torch-file.ts');

interface Impostor {
  kind: string;
  /** What stands where: bytes as text (latin1) at an offset. */
  at?: number;
  starts?: string;
  pattern?: RegExp;
  says: string;
  hint: string;
}

const UNPACK = 'unpack it first';
const FOREIGN = 'use the .pth or .safetensors file it was made from';

/** Files that really turn up where a checkpoint is expected. */
const IMPOSTORS: readonly Impostor[] = [
  {
    kind: 'lfs',
    starts: 'version https://git-lfs',
    says: 'a Git LFS pointer, not the file it points to',
    hint: 'run `git lfs pull`, or download the file itself',
  },
  {
    kind: 'html',
    pattern: /^\s*<(?:[!?]?[a-z-]+)[\s>-]/i,
    says: 'a web page, not a checkpoint',
    hint: 'download the file itself: the address led to something else',
  },
  { kind: 'tar', at: 257, starts: 'ustar', says: 'a tar archive (PyTorch before 0.2 wrote these)', hint: UNPACK },
  { kind: 'gzip', starts: '\x1f\x8b', says: 'gzip-compressed', hint: UNPACK },
  { kind: '7z', starts: '7z\xbc\xaf', says: 'a 7z archive', hint: UNPACK },
  { kind: 'h5', starts: '\x89HDF', says: 'an HDF5 file (Keras)', hint: FOREIGN },
  { kind: 'tflite', at: 4, starts: 'TFL3', says: 'a TensorFlow Lite model', hint: FOREIGN },
  { kind: 'gguf', starts: 'GGUF', says: 'a GGUF file', hint: FOREIGN },
  { kind: 'npy', starts: '\x93NUMPY', says: 'a NumPy array', hint: FOREIGN },
  { kind: 'onnx', starts: '\x08', pattern: /^.{2,66}(?:pytorch|onnx|paddle)/s, says: 'an ONNX model', hint: FOREIGN },
  { kind: 'image', pattern: /^(?:\x89PNG|\xff\xd8\xff|GIF8|RIFF)/, says: 'an image', hint: 'choose the file of weights' },
  { kind: 'pdparams', starts: '\x80', says: 'a pickle, but not of torch.save (Paddle writes .pdparams so)', hint: FOREIGN },
  { kind: 'json', pattern: /^\s*[{[]/, says: 'text (JSON)', hint: 'choose the file of weights' },
];

function describe(head: string, size: number): { kind: string; says: string; hint: string } {
  for (const { kind, at = 0, starts, pattern, says, hint } of IMPOSTORS) {
    if ((starts === undefined || head.startsWith(starts, at)) && (pattern === undefined || pattern.test(head))) return { kind, says, hint };
  }
  // A symbolic link checked out as text: one short line that is a path.
  if (size < 1024 && /^[\w .\-+@]*(?:\/[\w .\-+@]+)+\n?$/.test(head)) {
    return { kind: 'symlink', says: `the text of a symbolic link to ${head.trim()}`, hint: 'copy the file it points to' };
  }
  return { kind: 'unknown', says: 'of no known format', hint: 'PyTorch (.pth, .pt, .bin, .ckpt) and safetensors files are read' };
}

/**
 * Opens a safetensors or PyTorch file (zip or legacy format, whatever its name ends in). The header and the structure are read
 * and checked at once; the values stay in the file until asked for. A torch file's tensors are named by their path
 * (`ema.module.backbone…`): `selectStateDict` picks the weights.
 *
 * @param file a File or Blob, bytes in memory, or a {@link ByteReader}
 * @throws BackdropError E_CKPT_NOT_CHECKPOINT (`details.kind` says what it is), E_CKPT_* and E_ST_* of the readers
 */
export async function openCheckpoint(file: FileLike, options: OpenOptions = {}): Promise<TensorSource> {
  const bytes = openFile(file, options);
  const head = await bytes.read(0, Math.min(bytes.size, 512));
  const refuse = (kind: string, says: string, hint: string): never =>
    raiser(bytes.name, hint)('E_CKPT_NOT_CHECKPOINT', says, { kind, size: bytes.size });
  if (head.length === 0) refuse('empty', 'the file is empty', 'download it again');
  if (head[0] === 0x50 && head[1] === 0x4b && (head[2] === 3 || head[2] === 5)) return (await torchFiles()).openTorchZip(bytes);
  if (LEGACY_MAGIC.every((byte, i) => i >= head.length || head[i] === byte)) return (await torchFiles()).openTorchLegacy(bytes);
  const text = String.fromCharCode(...head);
  // An eight-byte length and a brace: only safetensors starts so. Its reader knows what is wrong with the rest.
  if (text[8] === '{') return openSafetensors(bytes, options);
  const { kind, says, hint } = describe(text, bytes.size);
  if (/\.safetensors$/i.test(bytes.name) && (kind === 'unknown' || kind === 'json')) return openSafetensors(bytes, options);
  return refuse(kind, `this is ${says}`, hint);
}
