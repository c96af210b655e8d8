/** For test files: calls the handlers that tests/**\/*.page.ts register, in the one Chrome of the run. */
import { inject } from 'vitest';
import { callSession } from '../../src/host/client.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Address of the run's page session. */
    page: string;
  }
}

export const page = {
  /** Runs a handler in the page. Payload and result may hold typed arrays at any depth. */
  call<T = unknown>(name: string, payload?: unknown): Promise<T> {
    return callSession<T>(inject('page'), name, payload);
  },
};
