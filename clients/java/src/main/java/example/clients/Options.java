package example.clients;

/** Where the servers are, and whose data. */
record Options(String command, String query, String tenant) {
    static Options read(String[] arguments) {
        var command = "127.0.0.1:50051";
        var query = "127.0.0.1:50052";
        var tenant = "default";
        for (int i = 0; i < arguments.length; i += 2) {
            if (i + 1 == arguments.length) {
                throw new IllegalArgumentException(arguments[i] + " needs a value");
            }
            switch (arguments[i]) {
                case "--command" -> command = arguments[i + 1];
                case "--query" -> query = arguments[i + 1];
                case "--tenant" -> tenant = arguments[i + 1];
                default -> throw new IllegalArgumentException(arguments[i] + " is none of --command, --query, --tenant");
            }
        }
        return new Options(command, query, tenant);
    }
}
