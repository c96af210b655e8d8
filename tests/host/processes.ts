/** The processes below one of ours. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Every process below this one. Slim Linux images have no ps. */
export function descendants(pid: number): number[] {
  const family = [pid];
  const rows = existsSync('/proc/self/stat') ? processesOfProc() : processesOfPs();
  for (const member of family) family.push(...rows.filter(([, parent]) => parent === member).map(([child]) => child));
  return family.slice(1);
}

function processesOfProc(): [number, number][] {
  return readdirSync('/proc').flatMap((name): [number, number][] => {
    try {
      // "pid (name, which may hold blanks) state parent ..."
      return /^\d+$/.test(name)
        ? [[Number(name), Number(readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[1])]]
        : [];
    } catch {
      return [];
    }
  });
}

function processesOfPs(): [number, number][] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
  return rows.map((row) => row.trim().split(/\s+/).map(Number) as [number, number]);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The process in which the Chrome of this process computes. */
export function gpuProcess(pid: number): number {
  const command = (member: number): string => {
    try {
      if (existsSync('/proc/self/cmdline')) return readFileSync(`/proc/${member}/cmdline`, 'utf8');
      return execFileSync('ps', ['-o', 'args=', '-p', String(member)], { encoding: 'utf8' });
    } catch {
      return '';
    }
  };
  const found = descendants(pid).find((member) => command(member).includes('--type=gpu-process'));
  if (found === undefined) throw new Error(`no GPU process below ${pid}`);
  return found;
}
