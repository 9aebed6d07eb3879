/**
 * Plants one mistake after the other, and says at which seed the simulation notices each.
 */
import { spawn } from 'node:child_process';
import type { Plant } from '../../mutants/mutant.ts';
import { copyProject, type ProjectCopy } from '../../mutants/project-copy.ts';
import { compilePart, type CompiledPart } from '../parts.ts';

export interface MeasureOptions {
  readonly mistakes: readonly Plant[];
  /** The first seed, and how many are tried. */
  readonly first: number;
  readonly count: number;
  readonly jobs: number;
}

/** How a mistake was noticed. */
export interface Measured {
  readonly mistake: Plant;
  /** After so many seeds; null: not at all. */
  readonly seeds: number | null;
  /** What was said of it. */
  readonly said: string;
}

/** Told of each as soon as it is known. */
export async function measure(options: MeasureOptions, onEach: (measured: Measured) => void): Promise<void> {
  const waiting = [...options.mistakes];
  const work = async (): Promise<void> => {
    const copy = copyProject();
    try {
      for (let mistake = waiting.shift(); mistake !== undefined; mistake = waiting.shift()) {
        const planted = mistake;
        // One after the other in each copy.
        // oxlint-disable-next-line no-await-in-loop
        onEach(await copy.during(planted, () => measureOne(copy, planted, options)));
      }
    } finally {
      copy.remove();
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.jobs, options.mistakes.length) }, work));
}

async function measureOne({ folder }: ProjectCopy, mistake: Plant, options: MeasureOptions): Promise<Measured> {
  const part = await compilePart(folder);
  try {
    return { mistake, ...(await tried(part, options)) };
  } finally {
    await part.dispose();
  }
}

function tried({ path }: CompiledPart, { first, count }: MeasureOptions): Promise<Omit<Measured, 'mistake'>> {
  const args = [path, String(first), String(count), 'until-broken'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (data: Buffer): void => {
    output = (output + data.toString()).slice(-20_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  return new Promise((resolve) => {
    child.once('close', (code) => {
      const [, seed, said] = /^seed (\d+): (.*)$/m.exec(output) ?? [];
      if (seed !== undefined) resolve({ seeds: Number(seed) - first + 1, said: said ?? '' });
      else if (code === 0) resolve({ seeds: null, said: 'not noticed' });
      else resolve({ seeds: null, said: `cannot be run: ${output.trim().split('\n').at(-1) ?? ''}` });
    });
  });
}

/** The promises that were said to be broken: I4, I10. */
export function promisesOf(said: string): string {
  return [...new Set(said.match(/\bI\d+(?=:)/g))].join(', ');
}
