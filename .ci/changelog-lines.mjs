/**
 * How changesets write a change into CHANGELOG.md: as it was written, without the commit.
 */
export const getReleaseLine = async ({ summary }) => `- ${summary.trim().replaceAll('\n', '\n  ')}`;

export const getDependencyReleaseLine = async () => '';
