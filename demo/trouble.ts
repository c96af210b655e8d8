/** What the page says when something is wrong: what it is, and what to do next. */
import { BackdropError } from '../src/errors.ts';

export interface Trouble {
  title: string;
  text: string;
  hint: string;
}

/** WebGPU's three ways of not being there; null when it may be. Asks the browser nothing that costs time. */
export function missingWebGpu(): Trouble | null {
  if ('gpu' in navigator && navigator.gpu) return null;
  if (!isSecureContext) {
    return {
      title: 'WebGPU is hidden on this address',
      text: 'Browsers offer WebGPU only to pages that come over https or from this machine itself.',
      hint: 'Open the page over https://, or by http://localhost or http://127.0.0.1.',
    };
  }
  return {
    title: 'This browser has no WebGPU',
    text: 'Backdrop computes on the graphics card through WebGPU, which this browser does not have or has switched off.',
    hint: 'Use Chrome or Edge 113 or newer, Safari 26 or newer, or Firefox 141 or newer on Windows and 145 or newer on Apple silicon.',
  };
}

const titles: Partial<Record<BackdropError['code'], string>> = {
  E_WEBGPU_NO_ADAPTER: 'No graphics adapter',
  E_GPU_LIMIT: 'This adapter is too small for the model',
  E_GPU_OOM: 'Out of graphics memory',
  E_GPU_LOST: 'The graphics device was lost',
  E_IMAGE: 'This picture cannot be used',
  E_MODEL_UNKNOWN: 'Unknown model',
  E_CKPT_ARCH: 'These weights do not fit',
  E_CKPT_SHAPE: 'These weights do not fit',
};

/** Any error in the page's words. */
export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof BackdropError)) {
    return {
      title: 'Something went wrong',
      text: error instanceof Error ? error.message : String(error),
      hint: 'Reload the page and try again.',
    };
  }
  const noAdapter =
    'Switch hardware acceleration on in the settings, update the graphics driver, and look at chrome://gpu. On Linux, Chrome may need --enable-features=Vulkan.';
  return {
    title: titles[error.code] ?? 'This did not work',
    text: `${error.message} (${error.code})`,
    hint: error.code === 'E_WEBGPU_NO_ADAPTER' ? noAdapter : (error.hint ?? ''),
  };
}
