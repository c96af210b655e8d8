import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import { smallModelConfig } from '../../src/verification/model-config.ts';
import { formulaTensor, integers, samplePositions, uniform } from '../../src/verification/formula.ts';
import { page } from '../setup/gpu.ts';
import type { StepAnswer, StepCase } from './step.page.ts';

const files = (process.env.STEPS ?? 'tiny-v1-frozen-A').split(',');
async function open(name: string) {
  const source = await openSafetensors(readFileSync(`/work/shared/golden/${name}.safetensors`));
  return { source, info: JSON.parse(source.metadata.get('info')!), get: (n: string) => source.readFloat32(n), has: (n: string) => source.tensors.has(n) };
}
it.each(files)('%s', async (name) => {
  const steps = await open(`steps-${name}`);
  const train = await open(`train-${name}`);
  const { info } = steps;
  const config = smallModelConfig(info.model, { ...train.info.config, ...(info.config ?? {}) });
  const mode = info.mode;
  const model = { ...config, freezeNorm: mode === 'frozen' ? 'all' : mode === 'bbfrozen' ? 'backbone' : 'none' } as typeof config;
  const [, qdn] = train.source.tensors.get('noise.label_u')!.shape;
  const targets = [];
  for (const i of [0, 1]) targets.push({ boxes: await train.get(`target.${i}.boxes`), labels: await train.get(`target.${i}.labels`) });
  const answer = await page.call<StepAnswer>('training step', {
    model,
    training: {
      maxTargets: 7,
      rules: info.groups.filter((g: any, i: number) => g.regex && info.group_names[i].length).map((g: any) => ({ pattern: g.regex, ...(g.lr === undefined ? {} : { rate: g.lr }), ...(g.weight_decay === undefined ? {} : { decay: g.weight_decay }) })),
      schedule: { warmupSteps: info.warmup_duration },
      ...(process.env.NOREUSE ? { program: { reuseMemory: false } } : {}),
    },
    seed: info.seed, overrides: info.overrides,
    images: [0, 1].map((i) => `${info.seed}/train/${info.batch}/img${i}`),
    targets,
    noise: { queries: qdn, labelUniform: await train.get('noise.label_u'), newLabel: await train.get('noise.new_label'), boxSign: await train.get('noise.box_sign'), boxUniform: await train.get('noise.box_u') },
    steps: Number(process.env.N ?? 20),
  } satisfies StepCase);
  console.log(answer.statistics, answer.created, answer.readbacks, answer.errors);
  let worst = 0;
  answer.reports.forEach((r, k) => {
    const h = info.history[k];
    const rel = Math.abs(r.loss - h.loss_f64) / h.loss_f64;
    worst = Math.max(worst, rel);
    console.log(k, r.loss, h.loss_f64, rel.toExponential(2), 'norm', r.norm, h.grad_norm_f64, r.rates.join(), h.lr.join());
    if (k === 0) for (const [n, v] of Object.entries<number>(h.losses_f64)) if (Math.abs(r.terms[n] - v) > 1e-5 * Math.abs(v)) console.log('term', n, r.terms[n], v);
  });
  const moves: [number, string][] = [];
  let total = [0, 0];
  for (const kind of ['param', 'ema'] as const) {
  for (const [n, values] of Object.entries(kind === 'param' ? answer.state.parameters : answer.state.average!)) {
    const t = `${kind}/${n}.val64`;
    if (!steps.has(t)) { if (kind === 'param') console.log('missing', n); continue; }
    const expected = await steps.get(t);
    const shape = info.recs[`${kind}/${n}`].shape;
    const start = formulaTensor(n, shape, info.seed, info.overrides);
    const at = samplePositions(values.length, expected.length);
    let d = 0, m = 0;
    at.forEach((p, i) => { d += (values[p] - expected[i]) ** 2; m += (expected[i] - start[p]) ** 2; });
    if (!info.zero_gradient_params.includes(n)) { moves.push([Math.sqrt(d / (m + 1e-300)), `${kind} ${n} recorded ${info.recs[`${kind}/${n}`].delta_rel_l2}`]); total = [total[0] + d, total[1] + m]; }
  }}
  moves.sort((a, b) => b[0] - a[0]);
  console.log(name, 'worst loss', worst, 'movement total', Math.sqrt(total[0] / total[1]), 'median', moves[moves.length >> 1]?.[0], moves.slice(0, 5));
});
