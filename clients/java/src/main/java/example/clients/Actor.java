package example.clients;

import io.grpc.Metadata;

/** Who acts: what the metadata of a call says. */
record Actor(String id, String role, String organisation) {
    static final Actor PRESCRIBER = new Actor("dr-1", "prescriber", "");
    static final Actor PHARMACY = new Actor("rph-1", "pharmacy", "9900007");
    /** For queries, which need nobody. */
    static final Actor NOBODY = new Actor("", "", "");

    Metadata metadata(String tenant) {
        var metadata = new Metadata();
        put(metadata, "erx-tenant", tenant);
        put(metadata, "erx-actor-id", id);
        put(metadata, "erx-actor-role", role);
        put(metadata, "erx-organisation-id", organisation);
        return metadata;
    }

    private static void put(Metadata metadata, String key, String value) {
        if (!value.isEmpty()) {
            metadata.put(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER), value);
        }
    }
}
