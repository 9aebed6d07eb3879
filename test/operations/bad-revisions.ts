/** What nobody can put in the place of a payload. */
export const BAD_REVISIONS: readonly (readonly [what: string, revision: object])[] = [
  ['neither payload nor patch', {}],
  ['both', { payload: 1, patch: 1 }],
  ['no JSON', { payload: { at: new Date() } }],
  ['text that cannot be stored', { payload: 'a\0b' }],
  ['a payload over the limit', { payload: 'a'.repeat(1_048_577) }],
];
