/** What Linux says of processes: CPU, threads, memory. */
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second, on every platform that Node runs on. */
const TICK_MS = 10;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
  readonly cpuMs: number;
}

/** User and system time of a process and all below it, in ms, since they began. */
export function cpuOf(pid: number): number {
  return sum(family(pid).map(({ cpuMs }) => cpuMs));
}

/**
 * CPU of one process: in all, and of the thread that runs JavaScript. The rest is libuv's pool, whatever
 * threads the program made, and V8's collector and compiler.
 */
export function threadsOf(pid: number): { readonly all: number; readonly main: number } {
  return {
    all: readStat(`/proc/${pid}/stat`)?.cpuMs ?? 0,
    main: readStat(`/proc/${pid}/task/${pid}/stat`)?.cpuMs ?? 0,
  };
}

/** CPU of all processes whose command begins so; for those that are not ours, such as PostgreSQL's. */
export function cpuOfNamed(name: string): number {
  return sum(
    all()
      .filter((stat) => stat.name === name)
      .map(({ cpuMs }) => cpuMs),
  );
}

export interface Memory {
  /** Of the process and all below it, in MiB. */
  readonly rssMib: number;
  /** The most that it ever was, per process, added up. */
  readonly peakMib: number;
}

export function memoryOf(pid: number): Memory {
  const field = (text: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1_024;
  const texts = family(pid).map(({ pid: member }) => read(`/proc/${member}/status`));
  return {
    rssMib: Math.round(sum(texts.map((text) => field(text, 'VmRSS')))),
    peakMib: Math.round(sum(texts.map((text) => field(text, 'VmHWM')))),
  };
}

function family(pid: number): readonly Stat[] {
  const everybody = all();
  const members = everybody.filter((stat) => stat.pid === pid);
  for (const member of members) members.push(...everybody.filter((s) => s.parent === member.pid));
  return members;
}

function all(): readonly Stat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(`/proc/${name}/stat`))
    .filter((stat) => stat !== undefined);
}

/** Undefined: it has ended meanwhile. */
function readStat(path: string): Stat | undefined {
  const found = /^(\d+) \((.*)\) (.*)$/s.exec(read(path));
  if (found === null) return undefined;
  const [, pid, name = '', rest = ''] = found;
  // See proc(5): the third field of the line is the first here.
  const fields = rest.split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { pid: Number(pid), parent: Number(fields[1]), name, cpuMs: ticks * TICK_MS };
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
