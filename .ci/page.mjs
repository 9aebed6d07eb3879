/**
 * Builds the page of the dashboard: src/dashboard/page as files that a browser loads.
 *
 *   node .ci/page.mjs            into dist/dashboard/page, which the package ships
 *   node .ci/page.mjs --cached   below node_modules/.cache, unless it is there as its sources are now; says where. For tests and the demo
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

if (process.argv.includes('--cached')) console.log(await cachedPage());
else await buildPage(join(root, 'dist/dashboard/page'));

/** The folder of the built page; the server looks for it there as well when the package is not built. */
async function cachedPage() {
  const folder = join(root, 'node_modules/.cache/holdfast/page');
  const stamp = join(folder, 'state');
  const state = stateOfSources();
  const isCurrent = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === state;
  if (isCurrent()) return folder;
  // Built beside it and moved there whole: others may be reading it meanwhile.
  const beside = `${folder}.${process.pid}`;
  mkdirSync(dirname(folder), { recursive: true });
  await buildPage(beside);
  writeFileSync(join(beside, 'state'), state);
  const old = `${beside}.old`;
  if (existsSync(folder)) renameSync(folder, old);
  try {
    renameSync(beside, folder);
  } catch (error) {
    // Somebody else was faster.
    if (!isCurrent()) throw error;
  }
  for (const each of [beside, old]) rmSync(each, { recursive: true, force: true });
  return folder;
}

function stateOfSources() {
  const hash = createHash('sha256');
  for (const source of ['src/dashboard', 'src/runtime', '.ci/page.mjs', 'package-lock.json']) {
    for (const file of filesAt(join(root, source))) hash.update(file.slice(root.length)).update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 16);
}

function filesAt(path) {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
  } catch (error) {
    if (error.code !== 'ENOTDIR') throw error;
    return [path];
  }
}

async function buildPage(outDir) {
  const { build } = await import('vite');
  await build({
    configFile: false,
    logLevel: 'warn',
    root: join(root, 'src/dashboard/page'),
    // Whatever path the server stands under: it writes that into the document.
    base: './',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir,
      emptyOutDir: true,
      // Since when browsers have light-dark() and popovers.
      target: ['chrome123', 'firefox125', 'safari17.5'],
      // What would be put in line is refused by the policy that the page is served under.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      // Of what is bundled, as its licenses ask for.
      license: { fileName: 'licenses.md' },
    },
  });
}
