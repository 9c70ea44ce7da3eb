/** `/control`: reads and sets the faults; `/control/log`: reads and clears the log. */
import express from "express";
import { sendProblem } from "./problem.js";

export function control({ faults, log }) {
  const router = express.Router();
  router.use(express.json());
  router.get("/", (request, response) => response.json(faults.state));
  router.put("/", (request, response) => {
    const mistake = faults.set(request.body ?? {});
    if (mistake) return sendProblem(response, 400, "Not a fault", mistake);
    response.json(faults.state);
  });
  router.get("/log", (request, response) => response.json(log.entries));
  router.delete("/log", (request, response) => {
    log.clear();
    response.status(204).end();
  });
  return router;
}
