// Permissions of a tuned model: who has which role, given and taken.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, dataOf, type Schemas } from "./client";
import { idOf } from "./models";

export type Permission = Schemas["PermissionOut"];

export function usePermissions(id: string) {
  return useQuery({
    queryKey: ["permissions", id],
    queryFn: async () => {
      const params = { path: { model_id: id }, query: { pageSize: 1000 } };
      return (
        dataOf(await api.GET("/v1beta/tunedModels/{model_id}/permissions", { params })).permissions ?? []
      );
    },
  });
}

export function useSharing(id: string) {
  const client = useQueryClient();
  const onSettled = () => client.invalidateQueries({ queryKey: ["permissions", id] });
  const give = useMutation({
    mutationFn: async (body: Schemas["PermissionIn"]) =>
      dataOf(
        await api.POST("/v1beta/tunedModels/{model_id}/permissions", {
          params: { path: { model_id: id } },
          body,
        }),
      ),
    onSettled,
  });
  const take = useMutation({
    mutationFn: async (permission: Permission) => {
      const path = { model_id: id, permission_id: idOf(permission.name) };
      return dataOf(
        await api.DELETE("/v1beta/tunedModels/{model_id}/permissions/{permission_id}", { params: { path } }),
      );
    },
    onSettled,
  });
  return { give, take };
}
