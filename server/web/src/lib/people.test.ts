// Tests of the texts about users, keys and sessions, and of their requests.
import { describe, expect, it } from "vitest";
import { createApi, type Schema } from "./api";
import { browserName, createPeopleApi, describeScope, parseProject, splitMembers } from "./people";

const KEY: Schema<"Key"> = {
  id: 1,
  user: "ada",
  name: "laptop",
  scope: "write",
  entity: null,
  project: null,
  created_at: 0,
  expires_at: null,
  last_used_at: null,
};

it("accepts only an entity and a project", () => {
  expect(parseProject(" team/demo ")).toEqual(["team", "demo"]);
  expect(["", "team", "team/", "/demo", "a/b/c"].map(parseProject)).toEqual([null, null, null, null, null]);
});

it("describes what a key may do", () => {
  expect(describeScope(KEY)).toBe("read and write");
  expect(describeScope({ ...KEY, scope: "read", entity: "team", project: "demo" })).toBe("read only, team/demo");
});

it("names browsers", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
  expect(browserName(chrome)).toBe("Chrome on Linux");
  expect(browserName(`${chrome} Edg/120.0`)).toBe("Edge on Linux");
  expect(browserName("Mozilla/5.0 (Windows NT 10.0; rv:121.0) Gecko/20100101 Firefox/121.0")).toBe("Firefox on Windows");
  expect(browserName("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Safari/604.1")).toBe("Safari on iOS");
  expect(browserName("curl/8.0")).toBe("curl/8.0");
  expect(browserName("")).toBe("Unknown browser");
});

it("hides members of the entity who have no access to a private project", () => {
  const member = (user: string, project: string, role: Schema<"Member">["role"]) => ({ user, entity: "team", project, role });
  const members = [member("boss", "", "admin"), member("all", "", "writer"), member("own", "demo", "viewer")];
  const names = (isPrivate: boolean, project: string) => {
    const { own, ofEntity } = splitMembers({ private: isPrivate, members }, project);
    return [own, ofEntity].map((list) => list.map((each) => each.user));
  };
  expect(names(false, "demo")).toEqual([["own"], ["boss", "all"]]);
  expect(names(true, "demo")).toEqual([["own"], ["boss"]]);
  expect(names(false, "")).toEqual([["boss", "all"], []]);
});

describe("the requests", () => {
  it("name the project or the entity, and accept an empty answer", async () => {
    const sent: [string, string | undefined, unknown][] = [];
    const api = createApi({
      fetch: (url, init) => {
        sent.push([url, init?.method, init?.body]);
        return Promise.resolve(new Response(""));
      },
    });
    const people = createPeopleApi(api.call);
    await people.setRole("team a", "de/mo", "ada", "writer");
    await people.removeRole("team", "", "ada@host");
    await people.setPrivate("team", "demo", true);
    expect(sent).toEqual([
      ["/api/v1/projects/team%20a/de%2Fmo/members/ada", "PUT", '{"role":"writer"}'],
      ["/api/v1/entities/team/members/ada%40host", "DELETE", undefined],
      ["/api/v1/projects/team/demo/access", "PATCH", '{"private":true}'],
    ]);
  });
});
