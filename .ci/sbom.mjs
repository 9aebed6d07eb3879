/**
 * The bill of materials of the packed package, as CycloneDX: what is installed with it in the versions that it was tested with, and what is
 * part of its files.
 *
 *   node .ci/sbom.mjs holdfast-x.y.z.tgz > holdfast-x.y.z.cdx.json
 *
 * Made by npm from a project that has the package: in this repository `npm sbom --omit dev` leaves out whatever development needs as well.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeLockedProject } from './locked.mjs';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Throws when the bill is not complete. */
export function billOfMaterials(tarball) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sbom-'));
  try {
    makeLockedProject(folder, tarball, []);
    const flags = ['--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
    const bill = JSON.parse(execFileSync('npm', ['sbom', ...flags], { cwd: folder, encoding: 'utf8' }));
    const bundled = bundledIn(tarball);
    const own = bill.components.find(({ name }) => name === 'holdfast');
    const components = [...bill.components.filter((each) => each !== own), ...bundled];
    assertComplete(components);
    return {
      ...bill,
      // Where it lay when this was made says nothing.
      metadata: { ...bill.metadata, component: { ...own, externalReferences: [] } },
      components,
      dependencies: bill.dependencies
        .filter(({ ref }) => ref !== bill.metadata.component['bom-ref'])
        .map((each) =>
          each.ref === own['bom-ref']
            ? { ...each, dependsOn: [...each.dependsOn, ...bundled.map((part) => part['bom-ref'])] }
            : each,
        ),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What the page of the dashboard is built of: it lies in our files, by the list that its licences ask for. */
function bundledIn(tarball) {
  const list = 'package/dist/dashboard/page/licenses.md';
  const text = execFileSync('tar', ['-xzOf', tarball, list], { encoding: 'utf8' });
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return [...text.matchAll(/^## (\S+) - (\S+) \((.+)\)$/gm)].map(([, name, version, license]) => ({
    'bom-ref': `${name}@${version}`,
    type: 'library',
    name,
    version,
    scope: 'required',
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
    properties: [{ name: 'holdfast:bundled', value: 'true' }],
    hashes: [{ alg: 'SHA-512', content: hexOf(packages[`node_modules/${name}`].integrity) }],
    licenses: [{ license: { id: license } }],
  }));
}

function hexOf(integrity) {
  return Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex');
}

function assertComplete(components) {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const named = new Set(components.map(({ name, version }) => `${name}@${version}`));
  const shipped = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  const missing = shipped
    .map(([path, { version }]) => `${path.replace(/.*node_modules\//, '')}@${version}`)
    .filter((each) => !named.has(each));
  if (missing.length > 0) throw new Error(`The bill of materials lacks ${missing.join(', ')}.`);
  const bare = components.filter(({ hashes = [], licenses = [] }) => hashes.length === 0 || licenses.length === 0);
  if (bare.length > 0) throw new Error(`Without checksum or licence: ${bare.map(({ name }) => name).join(', ')}.`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , tarball] = process.argv;
  if (tarball === undefined) throw new Error('Give the path of the packed package.');
  console.log(JSON.stringify(billOfMaterials(resolve(tarball)), null, 2));
}
