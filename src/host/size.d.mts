export interface BundleSize {
  name: string;
  /** Minified. */
  bytes: number;
  /** gzip -9 */
  gzip: number;
  parts: { path: string; bytes: number }[];
}
export const detectLimit: number;
export const pageLimit: number;
/** A file of the page. */
export interface FileSize {
  name: string;
  /** gzip -9 */
  gzip: number;
}
export function measurePage(): Promise<{ first: FileSize[]; later: FileSize[] }>;
export function total(files: readonly FileSize[]): number;
export function pageTable(page: { first: FileSize[]; later: FileSize[] }): string[];
export const bundles: Record<string, string>;
export function measureBundles(entries?: Record<string, string>): Promise<BundleSize[]>;
export function sizeTable(sizes: BundleSize[]): string[];
