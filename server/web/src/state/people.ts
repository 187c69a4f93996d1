// The client for the pages of people. Only these pages load it.
import { createPeopleApi } from "../lib/people";
import { api } from "./services";

export const people = createPeopleApi(api.call);
