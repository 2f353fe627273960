// All texts of the Studio, ready for translation. Plain and short: what happened, then what to do.

import { create } from "./parts/create";
import { exports } from "./parts/exports";
import { inquiries } from "./parts/inquiries";
import { library } from "./parts/library";
import { model } from "./parts/model";
import { pages } from "./parts/pages";
import { playground } from "./parts/playground";
import { shell } from "./parts/shell";

export const text = {
  ...shell,
  ...library,
  ...create,
  ...model,
  ...inquiries,
  ...exports,
  ...playground,
  ...pages,
} as const;
