/** The page handlers of `backdrop bench`. */
import { register } from '../host/page-registry.ts';
import { benchOps, type OpsRequest } from './run-ops.ts';

register<OpsRequest>('bench ops', (request, { progress }) => benchOps(request, progress));
