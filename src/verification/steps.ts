/** Verifies a file of twenty optimiser steps: losses and rates of the comparable ones, then how far every parameter and average has moved. */
import { BackdropError } from '../errors.ts';
import { denoisingLayout } from '../training/denoising.ts';
import type { GroupRule } from '../training/groups.ts';
import type { NamedArrays } from '../training/state.ts';
import { type StepReport, TrainingStep } from '../training/step.ts';
import { mostTargets } from '../training/targets.ts';
import { batchTargets, formulaNoise, recordedDraws, smallModelSizes } from './batches.ts';
import { relativeL2 } from './compare.ts';
import { bytesToUnit, type FormulaSource, formulaImage, samplePositions } from './formula.ts';
import type { TrainingFile } from './golden.ts';
import { toNhwc } from './layout.ts';
import type { OpsContext } from './ops.ts';
import { type CaseReport, caseReport, type TensorReport } from './report.ts';
import { formulaSource, trainingModel } from './train.ts';

interface HistoryEntry {
  loss: number;
  loss_f64: number;
  grad_norm: number;
  grad_norm_f64: number;
  /** By group. */
  lr: number[];
}

interface StepsInfo {
  steps: number;
  warmup_duration: number;
  optimizer: { lr: number; betas: [number, number]; eps: number; weight_decay: number; clip_max_norm: number };
  groups: { regex: string | null; lr?: number; weight_decay?: number }[];
  group_names: string[][];
  ema: { decay: number; warmups: number };
  history: HistoryEntry[];
  same_match: boolean[];
  zero_gradient_params: string[];
}

export async function verifySteps(file: TrainingFile, { gpu, kernels, variants = {} }: OpsContext): Promise<CaseReport[]> {
  const info = file.info as unknown as StepsInfo;
  const { optimizer, groups, group_names: names } = info;
  const model = trainingModel(file, smallModelSizes(file.model));
  const { version, classes, denoising, size } = model.config;
  const targets = batchTargets(file.batch, classes);
  const source = formulaSource(model, file);
  // Groups without parameters are kept in PyTorch; with us a pattern that matches nothing is a mistake.
  const rules = groups.flatMap(({ regex, lr, weight_decay: decay }, i): GroupRule[] =>
    regex !== null && names[i].length > 0
      ? [{ pattern: regex, ...(lr === undefined ? {} : { rate: lr }), ...(decay === undefined ? {} : { decay }) }]
      : [],
  );
  const step = await TrainingStep.build(gpu, kernels, model, source, {
    ...{ batch: targets.length, maxTargets: Math.max(1, mostTargets(targets)), rules },
    ...{ rate: optimizer.lr, decay: optimizer.weight_decay, betas: optimizer.betas, eps: optimizer.eps },
    ...{ maxNorm: optimizer.clip_max_norm, average: info.ema, schedule: { warmupSteps: info.warmup_duration } },
    program: { variants },
  });
  try {
    const [height, width] = size;
    const planes = targets.map((_, i) => formulaImage(`${file.seed}/train/${file.batch}/img${i}`, height, width));
    const image = new Float32Array(targets.length * 3 * height * width);
    planes.forEach((bytes, i) => {
      image.set(toNhwc(bytesToUnit(bytes), [1, 3, height, width]), i * bytes.length);
    });
    const { count } = denoisingLayout({ version, denoising }, mostTargets(targets));
    const draws = recordedDraws(formulaNoise(file.seed, targets.length, count, classes), count);
    const reports: StepReport[] = [];
    const comparable = comparableSteps(file, info);
    for (let k = 0; k < comparable; k++) {
      const report = await step.step({ image, targets }, { draws });
      if (report) reports.push(report);
    }
    reports.push((await step.finish())!);
    const cases = [caseReport('losses', compareSteps(info, reports, file.mode))];
    // Where trajectories part, there is nothing to compare at their ends.
    if (comparable < info.steps) return cases;
    const { parameters, average } = await step.save();
    cases.push(caseReport('parameters', await compareMovement(file, 'param', parameters, source)));
    if (average) cases.push(caseReport('average', await compareMovement(file, 'ema', average, source)));
    return cases;
  } finally {
    step.destroy();
  }
}

/**
 * Steps in which every one of several PyTorch float32 runs, whose starting weights differ by at most half a unit in the last place,
 * meets our gates (README.md); where a file is not named, all. The file holds one such run, which says less.
 */
const ENSEMBLE: Readonly<Record<string, number>> = {
  'tiny-ae-v1-frozen-A': 5,
  'small-v1-frozen-A': 9,
  'tiny-v1-bbfrozen-A': 6,
  'tiny-v1-bntrain-A': 3,
  'small-v1-bbfrozen-A': 4,
  'small-v1-bntrain-A': 3,
  'odd-v2-bbfrozen-B': 9,
  'odd-v2-bntrain-B': 5,
  'odd-ae-v2-bntrain-B': 15,
  'tiny-ae-v1-bbfrozen-A': 7,
  'tiny-ae-v1-bntrain-A': 17,
};

/** Steps up to which PyTorch's float32 and float64 runs go the same way: their losses within 1e-4, their assignments equal. */
function comparableSteps({ model, mode, batch }: TrainingFile, { history, same_match: same }: StepsInfo): number {
  const parted = history.findIndex(({ loss, loss_f64: exact }, k) => !same[k] || Math.abs(loss - exact) > 1e-4 * Math.abs(exact));
  return Math.min(parted < 0 ? history.length : parted, ENSEMBLE[`${model}-${mode}-${batch}`] ?? history.length);
}

function compareSteps({ history, group_names: names }: StepsInfo, reports: readonly StepReport[], mode: string): TensorReport[] {
  const tensors: TensorReport[] = [];
  for (let k = 0; k < reports.length; k++) {
    const { loss, loss_f64: lossExact, grad_norm: gradient, grad_norm_f64: gradientExact, lr } = history[k];
    const compare = (name: string, ours: number, theirs: number, exact: number, gate: number) => {
      const [error, torch] = [Math.abs(ours - exact), Math.abs(theirs - exact)];
      const limit = Math.max(gate * Math.abs(exact), mode === 'frozen' ? 0 : 20 * torch);
      tensors.push({ name: `${name}[${k}]`, metric: 'max abs', error, torch, limit, ok: error <= limit, against: 'float64' });
    };
    compare('loss', reports[k].loss, loss, lossExact, 1e-4);
    // Trained batch norms magnify rounding: the norm leaves its gate long before the loss does.
    if (mode === 'frozen') compare('grad_norm', reports[k].norm, gradient, gradientExact, 1e-3);
    const rates = lr.filter((_, group) => names[group].length > 0);
    if (rates.length !== reports[k].rates.length) {
      throw new BackdropError('E_VERIFY', `there are ${reports[k].rates.length} groups of parameters, in the file ${rates.length}`);
    }
    rates.forEach((rate, group) => {
      compare(`rate ${group}`, reports[k].rates[group], rate, rate, 1e-12);
    });
  }
  return tensors;
}

/** Movement since step 0, relative: |ours - float64's| / |float64's|, at the file's samples. */
async function compareMovement(
  { source: golden, info }: TrainingFile,
  kind: 'param' | 'ema',
  arrays: NamedArrays,
  source: FormulaSource,
): Promise<TensorReport[]> {
  const recorded = info.recs as Record<string, { delta_rel_l2: number }>;
  const zero = new Set(info.zero_gradient_params as string[]);
  const reports: TensorReport[] = [];
  for (const [name, values] of Object.entries(arrays)) {
    const key = `${kind}/${name}`;
    if (zero.has(name) || /running_(mean|var)$/.test(name) || !golden.tensors.has(`${key}.val64`)) continue;
    const exact = await golden.readFloat32(`${key}.val64`);
    const start = await source.readFloat32(name);
    const positions = samplePositions(values.length, exact.length);
    const [ours, theirs] = [(i: number) => values[positions[i]], (i: number) => exact[i]].map((value) =>
      Float64Array.from(exact, (_, i) => value(i) - start[positions[i]]),
    );
    const error = relativeL2(ours, theirs);
    const torch = recorded[key]?.delta_rel_l2 ?? null;
    reports.push({ name: key, metric: 'rel L2', error, torch, limit: 2e-2, ok: error <= 2e-2, against: 'float64' });
  }
  return reports;
}
