/** Opens checkpoint files in the page and detects with them. */
import { Detector } from '../../src/detector/detector.ts';
import type { Detection } from '../../src/detector/postprocess.ts';
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { register } from '../../src/host/page-registry.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { integers } from '../../src/verification/formula.ts';
import { openModelWeights } from '../../weights-tools/model-weights.ts';

export interface DetectWithReply {
  model: string;
  messages: readonly string[];
  detections: Detection[];
}

let shared: Gpu | null = null;

register<{ file: Uint8Array<ArrayBuffer>; model: string | ModelConfig }>(
  'detect with file',
  async ({ file, model }): Promise<DetectWithReply> => {
    if (!shared || shared.failure) shared = await openDevice();
    const { source, config, report } = await openModelWeights(new File([file], 'weights.pth'), { model });
    const detector = await Detector.load(source, { model: config, gpu: shared });
    try {
      const data = Uint8ClampedArray.from(integers('picture', 100 * 80 * 4, 256));
      const { detections } = await detector.detect({ data, width: 100, height: 80 }, { threshold: 0 });
      return { model: config.name, messages: report.messages, detections };
    } finally {
      detector.dispose();
    }
  },
);
