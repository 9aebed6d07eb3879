/** For `setupFiles` of vitest: the matchers, and their types. */
import 'holdfast/vitest';
