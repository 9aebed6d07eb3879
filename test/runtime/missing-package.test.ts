/** Which package an error of an import() says is missing: on real errors of Node's two loaders, and on what others say. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { missingPackage } from '../../src/runtime/missing-package.ts';

const NAMES = ['bullmq', 'not-installed-here'];
const SAYING = `import('not-installed-here').catch(({ code, message }) => console.log(JSON.stringify({ code, message })))`;

it('is found in what the loaders of Node say, also below another error', () => {
  const imported = spawnSync(process.execPath, ['--input-type=module', '-e', SAYING], { encoding: 'utf8' });
  const told = Object.assign(new Error(), JSON.parse(imported.stdout) as { code: string; message: string });
  expect(missingPackage(told, NAMES)).toBe('not-installed-here');
  expect(missingPackage(new Error('The client cannot be loaded', { cause: told }), NAMES)).toBe('not-installed-here');
  expect(missingPackage(required('not-installed-here/part'), NAMES)).toBe('not-installed-here');
});

function required(name: string): unknown {
  try {
    return createRequire(import.meta.url)(name) as unknown;
  } catch (error) {
    return error;
  }
}

it('is none of what fails otherwise', () => {
  const inside = Object.assign(
    new Error("Cannot find package 'msgpackr' imported from /srv/node_modules/bullmq/x.js"),
    {
      code: 'ERR_MODULE_NOT_FOUND',
    },
  );
  expect(missingPackage(inside, NAMES)).toBeUndefined();
  expect(missingPackage(new Error("Cannot find package 'bullmq'"), NAMES)).toBeUndefined();
  expect(missingPackage('bullmq', NAMES)).toBeUndefined();
});
