// All that sessions and state storages do later than at once; built as `pkg/session.js`, which `larger-half.js` loads.

import { UserState } from "./user-state.js";

export { Carrier } from "./carrier.js";
export { exchange, isAuthorized, revoke } from "./login.js";
export { readRecords, writeRecords } from "./records.js";
export { accessToken } from "./refresh.js";

export const changeState = (config, user, step) => new UserState(config, user).change(step);
