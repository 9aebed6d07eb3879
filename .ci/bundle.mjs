/**
 * The last step of the build: joins the modules of dist/ into few files. Node then reads 50 files for `import 'holdfast'` and not 330, which
 * takes half the time. Modules that several doors of the package share go into files of their own, so there is one of each at run time:
 * an error is the same class whichever door it came by. What is loaded later by `import()` stays apart. Other packages stay outside.
 *
 * Of the declarations those stay that a door leads to: no other can be imported, and compilers need not look for what they import.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../', import.meta.url));
const dist = join(root, 'dist');
/** Made by another step, and no part of the code. */
const page = join(dist, 'dashboard/page');
const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const doors = Object.values(exports).filter((door) => typeof door === 'object');

/** The path of another file, in an import, an export or the type of one. */
const IMPORTED = /(\bfrom |\bimport |\bimport\()(['"])(\.[^'"]+)\.ts\2/g;

const { outputFiles } = await build({
  entryPoints: [...doors.map((door) => door.default), ...Object.values(bin)].map((file) => join(root, file)),
  outdir: dist,
  outbase: dist,
  chunkNames: 'chunks/[hash]',
  write: false,
  bundle: true,
  splitting: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Less to read and to parse, in lines as they are.
  minifySyntax: true,
  // Texts with other letters are kept in memory with two bytes each, and a file is one text.
  charset: 'ascii',
  logLevel: 'warning',
});
const declared = declarationsFrom(doors.map((door) => join(root, door.types)));
for (const file of filesBelow(dist)) {
  if (!file.startsWith(page) && !declared.has(file)) rmSync(file);
}
for (const { path, contents } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
}
removeEmpty(dist);

/** The files, and those that they lead to. They name each other as .js files: older compilers do not know another way. */
function declarationsFrom(files) {
  const found = new Set(files);
  for (const file of found) {
    const text = readFileSync(file, 'utf8').replaceAll(IMPORTED, (_, before, quote, target) => {
      found.add(resolve(dirname(file), `${target}.d.ts`));
      return `${before}${quote}${target}.js${quote}`;
    });
    writeFileSync(file, text);
  }
  return found;
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function removeEmpty(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmpty(join(folder, entry.name));
  }
  if (readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
}
