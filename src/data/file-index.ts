/** The files of a data set by name, so that what a label file calls an image is found wherever the publisher has put it. */

/** Extensions of pictures that browsers decode. */
export const imageExtensions = /\.(?:jpe?g|png|webp|avif|gif|bmp)$/i;

export const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
export const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1);
export const stemOf = (path: string): string => baseName(path).replace(/\.[^.]*$/, '');

/** Forward slashes, without "./" and "//". ".." stays: nothing in a listing has it, so it finds nothing. */
export function cleanPath(path: string): string {
  return path
    .replaceAll('\\', '/')
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** Resolves ".." against a folder ("a/b/" or ""). What climbs above the top loses the excess. */
export function joinPath(folder: string, path: string): string {
  const parts: string[] = [];
  for (const part of cleanPath(`${folder}/${path}`).split('/')) {
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

export class FileIndex {
  readonly paths: readonly string[];
  readonly #all: ReadonlySet<string>;
  readonly #byBase = new Map<string, string[]>();

  constructor(paths: readonly string[]) {
    this.paths = paths;
    this.#all = new Set(paths);
    for (const path of paths) {
      const name = baseName(path);
      const same = this.#byBase.get(name);
      if (same) same.push(path);
      else this.#byBase.set(name, [path]);
    }
  }

  has(path: string): boolean {
    return this.#all.has(path);
  }

  /** Files below a folder ("images/train"), in order. */
  below(folder: string): string[] {
    const prefix = folder === '' ? '' : `${folder.replace(/\/$/, '')}/`;
    return this.paths.filter((path) => path.startsWith(prefix));
  }

  /** Files whose path ends with these components. */
  endingWith(name: string): readonly string[] {
    const wanted = cleanPath(name);
    const same = this.#byBase.get(baseName(wanted)) ?? [];
    return wanted.includes('/') ? same.filter((path) => path === wanted || path.endsWith(`/${wanted}`)) : same;
  }

  /**
   * The file that a label file at `from` means by `name`: beside it, else below a folder called like one of `words` (the split,
   * train2017), else the only file of that name, else the one nearest the top. Undefined where there is none.
   */
  resolve(name: string, from: string, words: readonly string[]): string | undefined {
    const beside = folderOf(from) + cleanPath(name);
    if (this.has(beside)) return beside;
    const found = this.endingWith(name);
    if (found.length <= 1) return found[0];
    const wanted = new Set(words);
    const within = found.filter((path) =>
      path
        .split('/')
        .slice(0, -1)
        .some((part) => wanted.has(part)),
    );
    const depth = (path: string) => path.split('/').length;
    return (within.length > 0 ? within : [...found]).sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))[0];
  }
}
