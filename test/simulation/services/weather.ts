/** What a call is to meet outside, by the plan of its run. The first of each list is the one where nothing goes wrong. */

export const WEATHERS = [
  'fair',
  'failing twice',
  /** Refused for good, until somebody has talked to the company. */
  'rejected',
  /** It is done, and the first answer gets lost. */
  'unheard once',
  /** It is done, and no answer is heard. */
  'unheard',
  /** It is done unheard, and refused when it is asked for again. */
  'unheard, then refused',
  /** The first time the answer never comes, and who waits for it does not heed its signal. */
  'hanging',
  /** It is done, and its answer takes seconds. */
  'slow',
  /** The first time it is done, and its answer, which takes seconds, is an error. */
  'failing late',
  /** The first time it is done, and when the time is up, the code of the step says that it was refused. */
  'refused when the time is up',
  'failing often',
  /** The code of the step has a mistake. */
  'broken',
] as const;
export type CompanyWeather = (typeof WEATHERS)[number];

export const BACK_WEATHERS = [
  'fair',
  'failing twice',
  'unheard once',
  'failing often',
  'out of reach',
  'slow',
] as const;
export type BackWeather = (typeof BACK_WEATHERS)[number];

export const VERIFY_WEATHERS = ['knows', 'fails once', 'cannot say'] as const;
export type VerifyWeather = (typeof VERIFY_WEATHERS)[number];

/** How often it fails where it fails often: more than the journal keeps of attempts. */
export const OFTEN = 13;
