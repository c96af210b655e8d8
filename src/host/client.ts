/** Calls to a session of another process: what vitest's workers use to reach the one Chrome of the run. */
import { request } from 'node:http';
import { encodeMessage, unpackAnswer } from './message.ts';

/** PageSession.call through the session's endpoint. No time limit: the caller's test has one. */
export async function callSession<T>(endpoint: string, name: string, payload: unknown): Promise<T> {
  // Node's fetch gives up after five minutes without an answer, which a software adapter may well need.
  const answer = await new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
    // A connection a call: the server closes a kept one after 5 s, which a test that was computing meanwhile would not notice.
    const outgoing = request(`${endpoint}call/${encodeURIComponent(name)}`, { method: 'POST', agent: false }, (response) => {
      const chunks: Uint8Array[] = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const all = new Uint8Array(Buffer.concat(chunks));
        if (response.statusCode === 200) resolve(all);
        else reject(new Error(`the session answered ${response.statusCode}: ${new TextDecoder().decode(all).trim()}`));
      });
    });
    outgoing.on('error', (cause) => reject(new Error(`no session at ${new URL(endpoint).origin}: ${cause.message}`, { cause })));
    outgoing.end(encodeMessage(payload));
  });
  return unpackAnswer<T>(answer);
}
