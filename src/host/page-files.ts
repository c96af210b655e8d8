/** Files that the host serves to its page. */
import { BackdropError } from '../errors.ts';
import type { FileAddress } from './train-messages.ts';

/** @throws BackdropError E_FILE_MISSING */
export async function fetchBlob({ url, name }: FileAddress): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok) throw new BackdropError('E_FILE_MISSING', `${name} could not be read (status ${response.status})`);
  return response.blob();
}
