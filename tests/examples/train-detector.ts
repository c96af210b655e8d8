import { buildModel, KernelCache, type ModelConfig, modelConfig, openDevice, type ParameterSource } from 'backdrop';
import { recipe, type TrainingBatch, TrainingStep } from 'backdrop/training';

export async function train(model: string | ModelConfig, weights: ParameterSource, batches: TrainingBatch[]) {
  const gpu = await openDevice();
  const config = modelConfig(model);
  const step = await TrainingStep.build(gpu, new KernelCache(gpu), buildModel(config), weights, {
    ...recipe(config).training, // groups, rates, clipping, average, warm-up: the model's published ones
    batch: batches[0].targets.length,
    maxTargets: 100,
  });
  const losses: number[] = [];
  for (const batch of batches) {
    const before = await step.step(batch); // the report of the step before: one read-back a step
    if (before) losses.push(before.loss);
  }
  const last = await step.finish();
  if (last) losses.push(last.loss);
  const { parameters, average } = await step.save(); // by PyTorch's names, in PyTorch's layout
  step.destroy();
  gpu.close();
  return { losses, parameters, average };
}
