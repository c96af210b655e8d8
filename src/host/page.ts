/** The page that the command line drives: every module that registers a handler, then the loop that serves them. */
import '../bench/page.ts';
import './page-detect.ts';
import './page-doctor.ts';
import './page-eval.ts';
import './page-train.ts';
import './page-verify.ts';
import { serve } from './page-runtime.ts';

void serve();
