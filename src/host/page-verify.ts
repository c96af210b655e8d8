/** Page side of "backdrop verify" and of the golden tests: one device for all files, kernels compiled once. */
import { openModelWeights } from '../../weights-tools/model-weights.ts';
import { openSafetensors } from '../checkpoints/safetensors.ts';
import { BackdropError } from '../errors.ts';
import { type AdapterInfo, type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import type { ModelConfig } from '../models/configs.ts';
import { decodeBitmap } from '../pixels.ts';
import type { FileReport } from '../verification/report.ts';
import { caseNames, verify } from '../verification/verify.ts';
import { register } from './page-registry.ts';

export interface VerifyRequest {
  /** The file's name, for messages. */
  name: string;
  /** Where the page fetches the file, or its bytes. */
  file: { url: string } | { bytes: Uint8Array<ArrayBuffer> };
  /** Where the photograph lies that some model files were computed from; null when there is none. */
  photo?: string | null;
  /** A checkpoint whose weights take the formula's place, for files of whole models. */
  weights?: { url: string; name: string };
  /** Names of the cases to run; all when left out. */
  only?: readonly string[];
  /** Kernel variants forced by operation name. */
  variants?: Readonly<Record<string, string>>;
}

export interface VerifyAnswer {
  adapter: AdapterInfo;
  /** WebGPU features in use. */
  features: string[];
  report: FileReport;
}

export interface VerifyProgress {
  done: number;
  total: number;
  name: string;
}

let shared: { gpu: Gpu; kernels: KernelCache } | null = null;

async function device(): Promise<{ gpu: Gpu; kernels: KernelCache }> {
  if (!shared || shared.gpu.failure) {
    const gpu = await openDevice();
    shared = { gpu, kernels: new KernelCache(gpu) };
  }
  return shared;
}

async function load({ name, file }: VerifyRequest): Promise<File> {
  if ('bytes' in file) return new File([file.bytes], name);
  return new File([await fetchBlob(file.url, name)], name);
}

async function fetchBlob(url: string, name: string): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok) throw new BackdropError('E_FILE_MISSING', `${name} could not be read (status ${response.status})`);
  return response.blob();
}

/** RGB bytes of a picture, row by row, in the file's own values: no colour management. */
async function decode(url: string, name: string): Promise<{ width: number; height: number; rgb: Uint8Array }> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await decodeBitmap(await fetchBlob(url, name));
  } catch (cause) {
    if (cause instanceof BackdropError) throw cause;
    throw new BackdropError('E_IMAGE', `${name} could not be decoded: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new BackdropError('E_IMAGE', `${name}: this browser gives no 2D canvas of ${width}x${height}`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { width, height, rgb: data.filter((_, i) => i % 4 !== 3) as unknown as Uint8Array };
}

register<VerifyRequest>('verify', async (request, { progress, signal }): Promise<VerifyAnswer> => {
  const { gpu, kernels } = await device();
  const source = await openSafetensors(await load(request), { fileName: request.name, signal });
  const photo = async () => {
    if (!request.photo) {
      throw new BackdropError('E_FILE_MISSING', `${request.name} was computed from a photograph that is not in the file`, {
        hint: 'Put photo-640.png beside the golden file.',
      });
    }
    return decode(request.photo, 'photo-640.png');
  };
  const only = request.only && new Set(request.only);
  const { variants, weights } = request;
  const context = {
    gpu,
    kernels,
    photo,
    ...(variants ? { variants } : {}),
    ...(weights
      ? {
          weights: async (model: ModelConfig) =>
            (await openModelWeights(await fetchBlob(weights.url, weights.name), { model, fileName: weights.name, signal })).source,
        }
      : {}),
  };
  const report = await verify(source, request.name, context, {
    signal,
    onProgress: (state) => progress(state satisfies VerifyProgress),
    ...(only ? { select: (name: string) => only.has(name) } : {}),
  });
  return { adapter: gpu.info, features: [...gpu.device.features].sort(), report };
});

/** Names of the cases in a file. */
register<VerifyRequest>('verify-cases', async (request) =>
  caseNames(await openSafetensors(await load(request), { fileName: request.name })),
);
