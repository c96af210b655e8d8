export interface BundleSize {
  name: string;
  /** Minified. */
  bytes: number;
  /** gzip -9 */
  gzip: number;
  parts: { path: string; bytes: number }[];
}
export const detectLimit: number;
export const bundles: Record<string, string>;
export function measureBundles(entries?: Record<string, string>): Promise<BundleSize[]>;
export function sizeTable(sizes: BundleSize[]): string[];
