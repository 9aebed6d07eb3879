/**
 * npm run bench -- [NAME…] [--quick] [--rtt 2ms]
 * npm run trace -- …, see trace.ts
 * Compiles the project as its package is compiled, and runs the benchmarks (run.ts), or the trace, on that. What runs TypeScript directly adds a call
 * to every function that is made, which users do not pay and rivals of few functions pay less.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, 'node_modules/.cache/holdfast-bench');

const [first, ...rest] = process.argv.slice(2);
const [program, args] = first === 'trace' ? ['bench/trace.js', rest] : ['bench/run.js', process.argv.slice(2)];

compile();
const run = spawn(process.execPath, [join(compiled, program), ...args], { stdio: 'inherit' });
// Ctrl-C reaches it by the terminal; it ends by itself and takes its servers with it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => run.kill('SIGTERM'));
const [code] = (await once(run, 'exit')) as [number | null];
process.exitCode = code ?? 1;

function compile(): void {
  rmSync(compiled, { recursive: true, force: true });
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const result = spawnSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', join(root, 'bench/tsconfig.json')], {
    // stdout is for figures.
    stdio: ['ignore', 2, 2],
  });
  if (result.status !== 0) throw new Error('the project does not compile');
  cpSync(join(root, 'migrations'), join(compiled, 'migrations'), { recursive: true });
  writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }\n');
}
