/** The page handlers of `backdrop bench`. */
import { register } from '../host/page-registry.ts';
import { benchCost, benchModel, type CostRequest, type ModelRequest } from './run-model.ts';
import { benchOps, type OpsRequest } from './run-ops.ts';
import { benchTraining, type TrainRequest } from './run-training.ts';

register<OpsRequest>('bench ops', (request, { progress }) => benchOps(request, progress));
register<ModelRequest>('bench model', (request, { progress }) => benchModel(request, progress));
register<CostRequest>('bench cost', (request, { progress }) => benchCost(request, progress));
register<TrainRequest>('bench train', (request, { progress }) => benchTraining(request, progress));
