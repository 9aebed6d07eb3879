/**
 * For tests of statements that do not wait for each other: the driver deprecates them, and users write them all the same.
 */

/** Runs `work` without the warnings of deprecation that Node would print. */
export async function unwarned(work: () => Promise<void>): Promise<void> {
  const { noDeprecation } = process;
  process.noDeprecation = true;
  await work().finally(() => {
    process.noDeprecation = noDeprecation ?? false;
  });
}
